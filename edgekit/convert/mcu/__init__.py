"""int8 graph → legalised graph → kernel steps → memory plan → packed model (.ekm) or C source."""
