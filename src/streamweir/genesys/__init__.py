"""What is true of the Genesys Cloud platform, whichever dialect is spoken. Pure."""
