# What `cmake --install` puts in place: the header, libkolo.so.0, libkolo.a, kolo.pc, the CMake package. Included by
# kolo_library(). Neither library shows a name that does not begin with kolo_: the shared one by its version script, the
# static one because it is a single object whose other names have been made local.
include(CMakePackageConfigHelpers)

set_target_properties(kolo PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/kolo.map)
target_link_options(kolo PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/runtime/kolo.map
                                 -Wl,--as-needed -Wl,-z,now)
if(NOT KOLO_SANITIZE) # a sanitizer's runtime is in the program, not in the libraries
    target_link_options(kolo PRIVATE -Wl,--no-undefined)
endif()

# The static library: all objects, linked into one, local but for kolo_*.
set(objects "")
foreach(box ${boxes})
    list(APPEND objects $<TARGET_OBJECTS:${box}>)
endforeach()
set(whole ${PROJECT_BINARY_DIR}/kolo_static.o)
add_custom_command(
    OUTPUT ${whole}
    COMMAND ${CMAKE_LINKER} -r -o ${whole}.all ${objects}
    COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=kolo_* ${whole}.all ${whole}
    COMMAND ${CMAKE_COMMAND} -E rm ${whole}.all
    DEPENDS ${boxes} ${objects}
    COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Linking ${whole}")
add_library(kolo_static STATIC ${whole})
set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
set_target_properties(kolo_static PROPERTIES OUTPUT_NAME kolo LINKER_LANGUAGE C)
target_link_libraries(kolo_static INTERFACE Threads::Threads m PkgConfig::HWLOC)
if(KOLO_HAVE_VERBS)
    target_link_libraries(kolo_static INTERFACE PkgConfig::VERBS)
endif()
add_library(kolo::kolo_static ALIAS kolo_static)

foreach(target kolo kolo_static)
    target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include>
                                                   $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

# Two export sets: who links the shared library needs nothing else, who links the static one needs hwloc and, where they were there, the verbs libraries.
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/kolo)
install(TARGETS kolo EXPORT kolo-targets)
install(TARGETS kolo_static EXPORT kolo-static-targets)
install(EXPORT kolo-targets NAMESPACE kolo:: DESTINATION ${package})
install(EXPORT kolo-static-targets NAMESPACE kolo:: DESTINATION ${package})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/kolo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

configure_package_config_file(${PROJECT_SOURCE_DIR}/runtime/kolo-config.cmake.in ${PROJECT_BINARY_DIR}/kolo-config.cmake
                              INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kolo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kolo-config.cmake ${PROJECT_BINARY_DIR}/kolo-config-version.cmake
        DESTINATION ${package})

# kolo.pc finds its prefix from where it lies, so that `cmake --install --prefix` and packages may move it.
file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
# hwloc stands in it as a library, not as a package: libkolo.a is linked against the shared libhwloc, whose own
# dependencies need not have development files here.
# The same goes for the verbs libraries.
set(libraries ${HWLOC_LDFLAGS})
if(KOLO_HAVE_VERBS)
    list(APPEND libraries ${VERBS_LDFLAGS})
endif()
list(REMOVE_DUPLICATES libraries)
list(JOIN libraries " " library_flags)
configure_file(${PROJECT_SOURCE_DIR}/runtime/kolo.pc.in ${PROJECT_BINARY_DIR}/kolo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kolo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
