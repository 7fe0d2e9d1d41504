"""From an image to labels on its own grid."""
