target_sources(kolo_tool PRIVATE option.c quantity.c)
