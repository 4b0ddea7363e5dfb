"""What a technician does beside the sensors: hear them, ask what they offer, and never write to one."""
