"""Plug-ins that are universal models from elsewhere: they drive and teach, and label nothing for the reference."""
