package android.os;

/** Not final, so that a test can be several devices. */
public class Build {
    public static final String UNKNOWN = "unknown";
    public static String MANUFACTURER = "Google";
    public static String MODEL = "Pixel 7";
    public static String SOC_MODEL = UNKNOWN;

    public static class VERSION {
        public static int SDK_INT = 33;
    }
}
