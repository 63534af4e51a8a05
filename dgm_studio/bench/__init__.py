"""What the program promises about speed and robustness, measured on this machine; figures beside their bars."""
