target_sources(kolo_tool PRIVATE json.c option.c quantity.c whole_file.c)
target_link_libraries(kolo_tool PRIVATE PkgConfig::HWLOC) # doctor_place
if(KOLO_HAVE_VERBS)
    set_source_files_properties(doctor_verbs.c PROPERTIES COMPILE_DEFINITIONS KOLO_HAVE_VERBS=1)
    target_link_libraries(kolo_tool PRIVATE PkgConfig::VERBS) # doctor_verbs
endif()
