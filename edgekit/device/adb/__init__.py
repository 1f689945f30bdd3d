"""Android devices over adb: directly by TCP or USB, or through an adb server that holds the device."""
