"""What the program promises about speed and robustness, measured on this machine. Every figure stands beside its bar."""
