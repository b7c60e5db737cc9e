"""The operator stops a book while it trades: real ticks on the Firestore emulator, a flip at every moment of them."""
