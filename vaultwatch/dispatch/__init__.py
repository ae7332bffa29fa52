"""Decides who is notified of what, and when. Pure: it opens no file, asks no clock and calls no service."""
