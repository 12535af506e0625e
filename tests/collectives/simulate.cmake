kolo_test(collectives_simulate SOURCES simulate_test.c LIBRARIES kolo_collectives kolo_base)
kolo_test(collectives_simulate_parts SOURCES simulate_parts_test.c LIBRARIES kolo_collectives kolo_base)
kolo_test(collectives_simulate_formula SOURCES simulate_formula_test.c LIBRARIES kolo_collectives kolo_base TIMEOUT 180)
kolo_test(collectives_simulate_thousands SOURCES simulate_thousands_test.c LIBRARIES kolo_collectives kolo_base
          LABELS slow TIMEOUT 300)
kolo_test(collectives_print SOURCES print_test.c LIBRARIES kolo_collectives kolo_base)
kolo_test(collectives_simulate_starved SOURCES simulate_starved_test.c LIBRARIES kolo_collectives kolo_base)
target_link_options(test_collectives_simulate_starved PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
set_tests_properties(collectives_simulate collectives_simulate_starved collectives_print PROPERTIES ENVIRONMENT KOLO_LOG=none)
