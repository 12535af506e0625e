target_sources(kolo_tool PRIVATE json.c option.c whole_file.c)

# kolo perf link
file(GLOB link_sources CONFIGURE_DEPENDS link.c link_*.c)
if(NOT KOLO_HAVE_VERBS)
    list(FILTER link_sources EXCLUDE REGEX "/link_verbs[^/]*$")
endif()
target_sources(kolo_tool PRIVATE ${link_sources} chart.c quantity.c)
target_link_libraries(kolo_tool PRIVATE PkgConfig::HWLOC) # link_bind
