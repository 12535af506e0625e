target_sources(kolo_tool PRIVATE json.c option.c whole_file.c)
