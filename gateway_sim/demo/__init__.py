"""The story of a virtual gateway, told live and checked against what its devices served."""
