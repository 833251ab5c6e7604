"""What programs for the kernel's virtual machine (BPF) are made of, and the call that loads them."""
