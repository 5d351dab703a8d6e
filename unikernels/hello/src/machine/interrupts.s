# Interrupt entries. Those of devices only add up time and acknowledge: their purpose is to end a `hlt`.
# All run on stacks of their own (IST), because code for this target keeps data below its stack pointer.

.section .text.interrupts, "ax", @progbits
.global timer_entry
timer_entry:
    pushq %rax
    movq timer_period(%rip), %rax
    lock addq %rax, timer_micros(%rip)
    movb $0x20, %al             # end of interrupt, first PIC
    outb %al, $0x20
    popq %rax
    iretq

.global device_entry
device_entry:
    pushq %rax
    movl $0xFEE000B0, %eax      # end of interrupt, local APIC
    movl $0, (%rax)
    popq %rax
.global spurious_entry
spurious_entry:
    iretq

# Thirty-two entries of 16 bytes: the processor's exceptions.
.balign 16
.global fault_entries
fault_entries:
.set vector, 0
.rept 32
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    pushq $0                    # the processor pushes no error code for this one
    .endif
    pushq $vector
    jmp fault_common
    .set vector, vector + 1
.endr

fault_common:
    popq %rdi
    popq %rsi
    movq (%rsp), %rdx
    movq %cr2, %rcx
    andq $-16, %rsp
    call processor_fault
