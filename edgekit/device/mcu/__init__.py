"""Microcontrollers: the resident agent and the serial line to it."""
