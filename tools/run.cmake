target_sources(kolo_tool PRIVATE option.c)
target_link_libraries(kolo_tool PRIVATE PkgConfig::HWLOC) # run_bind
