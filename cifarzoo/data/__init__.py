"""Data: files to uint8 images, images on the device, and their order."""
