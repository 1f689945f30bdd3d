package android.app;

import android.content.Context;

public class Instrumentation {
    private final Context context;

    public Instrumentation(Context context) {
        this.context = context;
    }

    public Context getContext() {
        return context;
    }

    public Context getTargetContext() {
        return context;
    }
}
