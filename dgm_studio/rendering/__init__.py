"""From functions in space to surfaces and pictures, at the resolution that is asked for. No Qt, no OpenGL."""
