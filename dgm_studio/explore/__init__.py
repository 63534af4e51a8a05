"""The science behind each panel: (workbench, request) to updates. torch, no Qt."""
