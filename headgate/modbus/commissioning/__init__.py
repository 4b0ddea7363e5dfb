"""What a technician does at the cabinet: find, identify, read and dump devices, and never write to one."""
