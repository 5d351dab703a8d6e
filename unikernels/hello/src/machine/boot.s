# From the PVH entry (32-bit protected mode, paging off, ebx = hvm_start_info) to kernel_main in long mode.
# Source: xen/include/public/arch-x86/hvm/start_info.h, Intel SDM volume 3, 9.8.5.

.section .note.Xen, "a", @note
.balign 4
    .long 4                     # size of the owner
    .long 8                     # size of the entry address
    .long 18                    # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_start

.section .boot, "ax", @progbits
.code32
.global pvh_start
pvh_start:
    cli
    cld
    movl %ebx, %ebp             # kept: hvm_start_info
    movl $boot_stack_top, %esp

    # The loader cleared .bss, but the firmware that ran since may have used that memory.
    movl $bss_start, %edi
    movl $image_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    # Identity map of the first 4 GiB in pages of 2 MiB.
    movl $(boot_pdpt + 3), %eax
    movl %eax, boot_pml4
    movl $(boot_pd + 3), %eax
    movl $boot_pdpt, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    movl $0x83, %eax            # present, writable, 2 MiB
    movl $boot_pd, %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 2b

    movl $0x620, %eax           # CR4: PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx      # EFER: long mode enable
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80010023, %eax      # CR0: paging, write protect, numeric errors, monitor coprocessor, protected mode
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $0x08, $long_start

.code64
long_start:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $boot_stack_top, %esp
    fninit
    movl %ebp, %edi
    xorl %ebp, %ebp
    call kernel_main
3:  cli
    hlt
    jmp 3b

.section .rodata.boot, "a", @progbits
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 0x08: 64-bit code
    .quad 0x00cf93000000ffff    # 0x10: data
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt

.section .bss.boot, "aw", @nobits
.balign 4096
.global boot_pml4
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4096 * 4
.global boot_stack
boot_stack:
    .skip 65536
boot_stack_top:
