set(tools ${PROJECT_SOURCE_DIR}/tools)
set(doctor_sources doctor_host.c ${tools}/doctor_finding.c ${tools}/doctor_file.c ${tools}/quantity.c ${tools}/command.c)
kolo_test(doctor_limits SOURCES doctor_limits_test.c ${tools}/doctor_limits.c ${tools}/doctor_cgroup.c ${doctor_sources}
          LIBRARIES kolo_base kolo_topology)
kolo_test(doctor_rdma SOURCES doctor_rdma_test.c ${tools}/doctor_rdma.c ${tools}/doctor_rate.c ${doctor_sources})
kolo_test(doctor_network SOURCES doctor_network_test.c ${tools}/doctor_network.c ${tools}/doctor_place.c ${doctor_sources}
          LIBRARIES kolo_base kolo_tcp PkgConfig::HWLOC)
kolo_test(doctor_facts SOURCES doctor_facts_test.c ${tools}/doctor_facts.c ${tools}/doctor_answer.c
          ${tools}/doctor_socket.c ${doctor_sources} LIBRARIES kolo_base kolo_tcp)
kolo_test(doctor_peer_rdma SOURCES doctor_peer_rdma_test.c ${tools}/doctor_peer_rdma.c ${tools}/doctor_facts.c
          ${tools}/link_request.c ${doctor_sources} LIBRARIES kolo_base kolo_tcp)
if(TARGET kolo_tool)
    add_test(NAME doctor COMMAND ${KOLO_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/doctor_test.py $<TARGET_FILE:kolo_tool>)
    set_tests_properties(doctor PROPERTIES TIMEOUT 120)
endif()
