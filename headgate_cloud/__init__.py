"""The cloud side: template, handlers and their own envelope decoder; imports nothing of headgate."""
