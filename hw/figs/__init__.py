"""FiGS: swap-register engine for N:M structured sparsity, and the engines it is compared with."""
