    .section .rodata
    .balign 16
    .global test_cases, test_cases_end
test_cases:
    .incbin CASES
test_cases_end:
