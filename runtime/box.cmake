# A box is one folder of the library: an object library whose objects end up in libkolo.
#   kolo_box(name SOURCES a.c b.c [LIBRARIES PkgConfig::HWLOC ...])
# Anything that links a box by name (a test, the tool) gets its objects and what they need.

set(KOLO_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)

# Compile options of everything in this tree.
function(kolo_options target)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/include)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE $<$<BOOL:${KOLO_HAVE_VERBS}>:KOLO_HAVE_VERBS=1>)
    target_compile_options(${target} PRIVATE ${KOLO_WARNINGS} -ffp-contract=off) # the same figures in every build
    if(KOLO_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    if(KOLO_SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=${KOLO_SANITIZE} -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all)
        target_link_options(${target} PRIVATE -fsanitize=${KOLO_SANITIZE})
    endif()
endfunction()

function(kolo_box name)
    cmake_parse_arguments(BOX "" "" "SOURCES;LIBRARIES" ${ARGN})
    add_library(kolo_${name} OBJECT ${BOX_SOURCES})
    kolo_options(kolo_${name})
    set_target_properties(kolo_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
    target_link_libraries(kolo_${name} PUBLIC Threads::Threads m ${BOX_LIBRARIES})
    set_property(GLOBAL APPEND PROPERTY KOLO_BOXES kolo_${name})
    set_property(GLOBAL APPEND PROPERTY KOLO_BOX_LIBRARIES ${BOX_LIBRARIES})
endfunction()

# libkolo from all boxes. (Installing, the static library and pkg-config: runtime/install.cmake.)
function(kolo_library)
    get_property(boxes GLOBAL PROPERTY KOLO_BOXES)
    get_property(libraries GLOBAL PROPERTY KOLO_BOX_LIBRARIES)
    add_library(kolo SHARED)
    target_link_libraries(kolo PRIVATE ${boxes} Threads::Threads m ${libraries})
    kolo_options(kolo)
    set_target_properties(kolo PROPERTIES SOVERSION 0 VERSION ${PROJECT_VERSION} LINKER_LANGUAGE C)
    add_library(kolo::kolo ALIAS kolo)
    include(${PROJECT_SOURCE_DIR}/runtime/install.cmake)
endfunction()
