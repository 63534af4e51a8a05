"""What both sides of the program know: plain data and the background worker. No torch, no Qt."""
