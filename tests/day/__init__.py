"""A day of the whole deployment on one machine: every function a process of its own under the cloud's runtime, the
emulators of Firestore, Pub/Sub and Cloud Storage, a venue and a channel over HTTP, and what calls them in the cloud."""
