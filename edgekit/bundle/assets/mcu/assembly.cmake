# The assembly asks the preprocessor for the core, which many toolchain files name for C alone.
separate_arguments(@LIBRARY@_c_flags UNIX_COMMAND "${CMAKE_C_FLAGS}")
target_compile_options(edgekit_@LIBRARY@ PRIVATE "$<$<COMPILE_LANGUAGE:ASM>:${@LIBRARY@_c_flags}>")
