"""The cloud on your desk: everything that Autostop needs of AWS, on one machine and with no account."""
