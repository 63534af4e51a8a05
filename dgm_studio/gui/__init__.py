"""The window: Qt widgets over cards, requests and updates. No torch in here, not even indirectly."""
