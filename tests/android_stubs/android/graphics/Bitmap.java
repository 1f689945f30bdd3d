package android.graphics;

/** Pixels in memory; those of a hardware bitmap can't be read, as on Android. */
public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE }

    private final int[] argb;
    private final int width;
    private final int height;
    private final Config config;

    private Bitmap(int[] argb, int width, int height, Config config) {
        this.argb = argb;
        this.width = width;
        this.height = height;
        this.config = config;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(colors.clone(), width, height, config);
    }

    public Bitmap copy(Config config, boolean isMutable) {
        return new Bitmap(argb, width, height, config);
    }

    public Config getConfig() {
        return config;
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        if (config == Config.HARDWARE) {
            throw new IllegalStateException("unable to getPixels() of a Config#HARDWARE bitmap");
        }
        for (int row = 0; row < height; row++) {
            System.arraycopy(argb, (y + row) * this.width + x, pixels, offset + row * stride, width);
        }
    }
}
