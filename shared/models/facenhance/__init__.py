"""FacEnhance (Bouzid and Ballihi, arXiv 2406.09040): a small face video and one sharp picture give a sharp video.

`network` is the conditional U-Net, `diffusion` noise and the steps back from it, `algorithms` the three of the paper
(training, a frame, a video), `enhancer` the same on pictures as arrays, with weights from a file.
"""
