"""The published face-vid2vid networks ("vox-256 SPADE" and AdaSR-TalkingHead), for checkpoints that a user has."""
