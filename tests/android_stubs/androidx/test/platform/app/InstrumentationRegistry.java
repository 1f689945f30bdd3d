package androidx.test.platform.app;

import android.app.Instrumentation;
import android.content.Context;

public final class InstrumentationRegistry {
    /** Of a library's test both contexts are those of the one APK. */
    public static Context context;

    public static Instrumentation getInstrumentation() {
        return new Instrumentation(context);
    }
}
