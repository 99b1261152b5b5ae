"""What is broken is put right: a lost table, a terminated instance, what is left over."""
