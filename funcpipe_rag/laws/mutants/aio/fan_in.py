"""What people write in place of many async streams into one."""
