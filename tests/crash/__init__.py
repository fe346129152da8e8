"""The whole process under SIGKILL, SIGSTOP and cut wires: nothing is ever written twice, nothing is left behind."""
