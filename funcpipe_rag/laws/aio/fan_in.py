"""The laws of many async streams into one."""
