"""The main job on real parts: real kubectl, real registry, real node, real model."""
