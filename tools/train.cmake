# BLAS is loaded when training begins (train_blas.h): nothing to link but the loader.
target_sources(kolo_tool PRIVATE chart.c sha256.c)
target_link_libraries(kolo_tool PRIVATE ${CMAKE_DL_LIBS})
