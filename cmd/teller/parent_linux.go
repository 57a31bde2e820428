package main

import "syscall"

// endWithParent asks the kernel to end the child when the thread that starts it ends, so that a
// killed 'teller dev' leaves nothing behind.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
