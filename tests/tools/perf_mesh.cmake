set(tools ${PROJECT_SOURCE_DIR}/tools)
kolo_test(perf_mesh_matrix SOURCES perf_mesh_matrix_test.c ${tools}/perf_mesh_round.c ${tools}/perf_mesh_matrix.c
          ${tools}/perf_mesh_report.c ${tools}/perf_mesh_heat.c ${tools}/perf_mesh_frame.c ${tools}/link_request.c ${tools}/json.c
          ${tools}/whole_file.c LIBRARIES kolo_base)
if(TARGET kolo_tool)
    add_test(NAME perf_mesh COMMAND ${KOLO_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/perf_mesh_test.py $<TARGET_FILE:kolo_tool>)
    set_tests_properties(perf_mesh PROPERTIES TIMEOUT 120 PROCESSORS 2 LABELS slow)
endif()
