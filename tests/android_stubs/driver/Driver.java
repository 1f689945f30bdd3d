package driver;

import android.content.Context;
import android.content.res.AssetManager;
import android.graphics.Bitmap;
import android.os.Build;
import androidx.test.platform.app.InstrumentationRegistry;
import com.example.full.ManyModel;
import com.example.full.NetModel;
import com.example.full.PairModel;
import com.example.full.runtime.AssetFiles;
import com.example.full.runtime.BundleSeal;
import com.example.full.runtime.Category;
import com.example.full.runtime.Device;
import com.example.full.runtime.Engine;
import com.example.full.runtime.FolderFiles;
import com.example.full.runtime.Selection;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Test;
import org.pytorch.executorch.Module;
import stubs.Replay;

/** Runs what was generated, from Java, and prints "ok NAME" or "failed NAME: REASON" for every check. */
public final class Driver {
    private interface Check {
        void run() throws Throwable;
    }

    private static File root;

    public static void main(String[] arguments) throws Exception {
        root = new File(arguments[0]);
        Replay.folder = new File(root, "replay");
        for (String name : arguments[1].split(",")) {
            instrumented(name);
        }
        check("golden test notices other outputs", Driver::noticesOtherOutputs);
        check("selection", Driver::selection);
        check("changed model is refused", Driver::changedModel);
        check("truncated model is refused", Driver::truncatedModel);
        check("compressed asset is named", Driver::compressed);
        check("missing asset is named", Driver::missing);
        check("executorch copy", Driver::copied);
        check("threads are applied", Driver::threads);
        check("fake engine, float", Driver::fakeEngine);
        check("fake engine, quantised", Driver::fakeQuantised);
        check("several tensors", Driver::severalTensors);
        check("classify a bitmap", Driver::classify);
        check("hardware bitmap", Driver::hardwareBitmap);
        check("labels", Driver::labels);
        check("wrong number of values", Driver::wrongCount);
        check("closed", Driver::closed);
        check("another model's tensors", Driver::anotherModel);
        check("ed25519", Driver::ed25519);
        check("seal", Driver::seal);
        check("asset pack", Driver::pack);
    }

    private static void check(String name, Check check) {
        Build.MANUFACTURER = "Google";
        Build.MODEL = "Pixel 3";
        Build.SOC_MODEL = Build.UNKNOWN;
        Build.VERSION.SDK_INT = 33;
        Replay.folder = new File(root, "replay");
        Replay.open = 0;
        try {
            check.run();
            that(Replay.open == 0, Replay.open + " models were left open");
            System.out.println("ok " + name);
        } catch (Throwable failure) {
            System.out.println("failed " + name + ": " + failure);
        }
    }

    private static void instrumented(String name) throws Exception {
        Class<?> tests = Class.forName(name);
        String folder = name.split("\\.")[2];
        for (Method method : tests.getMethods()) {
            if (method.isAnnotationPresent(Test.class)) {
                check(folder + " " + tests.getSimpleName() + "." + method.getName(), () -> {
                    InstrumentationRegistry.context = context(folder);
                    invoke(tests, method);
                });
            }
        }
    }

    private static void invoke(Class<?> tests, Method method) throws Throwable {
        try {
            method.invoke(tests.getConstructor().newInstance());
        } catch (InvocationTargetException failure) {
            throw failure.getCause();
        }
    }

    /** The app that has a module: its assets, those of its tests, and the seal that the build copies. */
    private static Context context(String module, File... first) {
        File sources = new File(root, module + "/src");
        List<File> folders = new ArrayList<>(Arrays.asList(first));
        folders.add(new File(sources, "main/assets"));
        folders.add(new File(sources, "androidTest/assets"));
        folders.add(new File(root, "demo_pack_assets"));
        folders.add(new File(root, "generated"));
        return new Context(new AssetManager(folders.toArray(new File[0])), new File(root, "no_backup"));
    }

    private static void noticesOtherOutputs() throws Throwable {
        InstrumentationRegistry.context = context("full");
        Replay.folder = new File(root, "replay_off");
        Class<?> tests = Class.forName("com.example.full.NetModelGoldenTest");
        for (String name : new String[] {"variant_litert_fp32", "variant_onnx_fp32", "variant_executorch_fp16"}) {
            throwing(AssertionError.class, "is off by", () -> invoke(tests, tests.getMethod(name)));
        }
    }

    private static void selection() {
        selected("executorch_fp16", 2, "DEVICE", "Google", "Pixel 7", null);
        selected("executorch_fp16", 2, "DEVICE", "", "google pixel 7", "something else");
        selected("litert_int8", 3, "CHIP", "samsung", "SM-F946B", "sm8550");
        selected("litert_fp32", 1, "FALL_BACK", "samsung", "SM-F946B", Build.UNKNOWN);
        Build.VERSION.SDK_INT = 30;
        selected("litert_fp32", 1, "FALL_BACK", "samsung", "SM-F946B", "SM8550");
        Selection asked = NetModel.select("onnx_fp32");
        that(asked.getVariant().getId().equals("onnx_fp32"), asked.getVariant().getId());
        that(asked.getBy().name().equals("REQUEST"), asked.getReason());
        Device twins = new Device(Collections.singletonList("Twin"), "SM8550");
        that(NetModel.select(twins).getVariant().getId().equals("litert_int8"), "the twin with the same chip");
        throwing(IllegalArgumentException.class, "no variant nothing", () -> NetModel.select("nothing"));
    }

    private static void selected(String variant, int threads, String by, String maker, String model, String soc) {
        Build.MANUFACTURER = maker;
        Build.MODEL = model;
        Build.SOC_MODEL = soc == null ? Build.UNKNOWN : soc;
        Selection found = NetModel.select();
        String text = found.getVariant().getId() + " " + found.getThreads() + " " + found.getBy();
        that(text.equals(variant + " " + threads + " " + by), text + ": " + found.getReason());
    }

    private static void changedModel() throws Throwable {
        File copies = new File(root, "no_backup/edgekit");
        for (File copy : copies.listFiles()) {
            copy.delete();
        }
        File changed = new File(root, "changed");
        for (String id : new String[] {"litert_fp32", "executorch_fp16", "onnx_fp32"}) {
            throwing(java.io.IOException.class, "sha256 differs", () -> open("full", id, changed));
        }
        Selection asked = NetModel.select("executorch_fp16");
        throwing(java.io.IOException.class, "sha256 differs",
            () -> NetModel.open(context("full"), new FolderFiles(changed), asked));
        that(copies.list().length == 0, "a changed model was copied");
    }

    private static void truncatedModel() {
        File truncated = new File(root, "truncated");
        throwing(java.io.IOException.class, "sha256 differs", () -> open("full", "litert_fp32", truncated));
    }

    private static NetModel open(String module, String id, File... first) throws Exception {
        Context context = context(module, first);
        return NetModel.open(context, new AssetFiles(context.getAssets()), NetModel.select(id));
    }

    private static void compressed() {
        Context context = context("full");
        context.getAssets().compressed.add("edgekit/net/litert_fp32.tflite");
        throwing(java.io.IOException.class, "noCompress += \"tflite\"", () -> NetModel.open(context));
    }

    private static void missing() {
        Context context = new Context(new AssetManager(root), root);
        throwing(java.io.IOException.class, "no asset edgekit/net/litert_fp32.tflite", () -> NetModel.open(context));
        throwing(java.io.IOException.class, "no file edgekit/net", () -> NetModel.open(context, new FolderFiles(root)));
    }

    private static void copied() throws Exception {
        File folder = new File(root, "no_backup/edgekit");
        open("full", "executorch_fp16").close();
        File copy = new File(folder, NetModel.select("executorch_fp16").getVariant().getSha256() + ".pte");
        that(Module.loaded.equals(copy.getAbsolutePath()), Module.loaded);
        byte[] content = Files.readAllBytes(copy.toPath());
        long written = copy.lastModified();
        copy.setLastModified(written - 100000);
        open("full", "executorch_fp16").close();
        that(copy.lastModified() < written, "a good copy was written again");
        Files.write(copy.toPath(), new byte[content.length]);
        open("full", "executorch_fp16").close();
        that(Arrays.equals(content, Files.readAllBytes(copy.toPath())), "a damaged copy was used");
        that(folder.list().length == 1, Arrays.toString(folder.list()));
        File pack = new File(root, "full/src/main/assets");
        NetModel.open(context("full"), new FolderFiles(pack), NetModel.select("executorch_fp16")).close();
        that(Module.loaded.startsWith(pack.getAbsolutePath()), "a file was copied: " + Module.loaded);
    }

    private static void threads() throws Exception {
        Build.MODEL = "Pixel 7";
        NetModel.open(context("full")).close();
        that(Replay.threads == 2, "ExecuTorch has " + Replay.threads);
        Build.MODEL = "SM-F946B";
        Build.SOC_MODEL = "SM8550";
        NetModel.open(context("full")).close();
        that(Replay.threads == 3, "LiteRT has " + Replay.threads);
        open("full", "onnx_fp32").close();
        that(Replay.threads == 4, "ONNX Runtime has " + Replay.threads);
    }

    /** An engine of one's own: it keeps its first input and gives these bytes. */
    private static final class Fake implements Engine {
        final List<byte[]> outputs;
        byte[] seen;
        int closed;

        Fake(byte[]... outputs) {
            this.outputs = Arrays.asList(outputs);
        }

        @Override
        public void run(List<? extends ByteBuffer> inputs, List<? extends ByteBuffer> made) {
            seen = Replay.content(inputs.get(0));
            for (int index = 0; index < outputs.size(); index++) {
                made.get(index).put(outputs.get(index));
            }
        }

        @Override
        public void close() {
            closed++;
        }
    }

    private static void fakeEngine() throws Exception {
        byte[] golden = Arrays.copyOf(golden("net/litert_fp32_out0.bin"), 4 * 12);
        Fake engine = new Fake(golden);
        try (NetModel model = new NetModel(NetModel.select("litert_fp32"), engine)) {
            float[] image = new float[192];
            image[7] = 1.5f;
            float[] logits = model.run(image).logits;
            that(Arrays.equals(logits, floats(golden)), Arrays.toString(logits));
            that(floats(engine.seen)[7] == 1.5f, "the input was not given");
        }
        that(engine.closed == 1, "closed " + engine.closed + " times");
    }

    private static void fakeQuantised() throws Exception {
        byte[] stored = new byte[12];
        stored[0] = -128;
        stored[1] = 127;
        stored[2] = 5;
        Fake engine = new Fake(stored);
        try (NetModel model = new NetModel(NetModel.select("litert_int8"), engine)) {
            float[] image = new float[192];
            image[0] = 1e30f;
            image[1] = Float.NEGATIVE_INFINITY;
            image[2] = Float.NaN;
            image[3] = 0.015625f;
            image[4] = -0.015625f;
            float[] logits = model.run(image).logits;
            that(logits[0] == -133 * 0.1f && logits[1] == 122 * 0.1f && logits[2] == 0f, Arrays.toString(logits));
            byte[] expected = {127, -128, -14, -13, -15, -14};
            that(Arrays.equals(expected, Arrays.copyOf(engine.seen, 6)), Arrays.toString(engine.seen));
        }
    }

    private static void severalTensors() throws Exception {
        try (PairModel model = PairModel.open(context("full"))) {
            byte[] image = golden("pair/onnx_fp32_in0.bin");
            byte[] extra = golden("pair/onnx_fp32_in1.bin");
            PairModel.Outputs outputs =
                model.run(floats(Arrays.copyOf(image, 4 * 48)), longs(Arrays.copyOf(extra, 8 * 5)));
            float[] map = floats(Arrays.copyOf(golden("pair/onnx_fp32_out0.bin"), 4 * 32));
            that(Arrays.equals(outputs.outputMap, map), "map");
            that(Arrays.equals(outputs.score, ints(Arrays.copyOf(golden("pair/onnx_fp32_out1.bin"), 4))), "score");
            that(PairModel.InputShapes.image.equals(Arrays.asList(1, 3, 4, 4)), PairModel.InputShapes.image.toString());
        }
    }

    private static Bitmap picture(Bitmap.Config config) throws Exception {
        byte[] rgb = golden("net/picture.bin");
        int[] argb = new int[37 * 29];
        for (int index = 0; index < argb.length; index++) {
            int red = rgb[3 * index] & 255;
            int green = rgb[3 * index + 1] & 255;
            argb[index] = 0xff << 24 | red << 16 | green << 8 | rgb[3 * index + 2] & 255;
        }
        return Bitmap.createBitmap(argb, 37, 29, config);
    }

    private static void classify() throws Exception {
        for (String id : new String[] {"litert_fp32", "executorch_fp16", "onnx_fp32", "litert_int8"}) {
            try (NetModel model = open("full", id)) {
                List<Category> best = model.classify(picture(Bitmap.Config.ARGB_8888), 3);
                that(best.size() == 3 && best.get(0).getIndex() == 4 && best.get(1).getIndex() == 2, id + " " + best);
                that(best.get(0).getLabel().equals(NetModel.LABELS.get(4)), id + " " + best);
                that(best.get(0).getScore() > 5, id + " " + best);
            }
        }
    }

    private static void hardwareBitmap() throws Exception {
        float[] values = NetModel.fromBitmap(picture(Bitmap.Config.HARDWARE));
        that(Arrays.equals(values, NetModel.fromBitmap(picture(Bitmap.Config.ARGB_8888))), "other values");
    }

    private static void labels() throws Exception {
        String all = new String(Files.readAllBytes(new File(root, "labels.txt").toPath()), StandardCharsets.UTF_8);
        that(NetModel.LABELS.equals(Arrays.asList(all.split("\0"))), NetModel.LABELS.toString());
        that(ManyModel.LABELS.size() == 1200 && ManyModel.LABELS.get(1199).equals("label 1199"), "the labels of many");
        that(ManyModel.LABELS.get(500).equals("label 500"), ManyModel.LABELS.get(500));
    }

    private static void wrongCount() throws Exception {
        try (NetModel model = open("full", "litert_fp32")) {
            throwing(IllegalArgumentException.class, "191 values", () -> model.run(new float[191]));
        }
    }

    private static void closed() throws Exception {
        NetModel model = open("full", "litert_fp32");
        model.close();
        model.close();
        throwing(IllegalStateException.class, "closed", () -> model.run(new float[192]));
        throwing(IllegalStateException.class, "closed", () -> model.runStored(Collections.<ByteBuffer>emptyList()));
    }

    private static void anotherModel() throws Exception {
        Replay.folder = new File(root, "replay_shapes");
        throwing(IllegalStateException.class, "takes [", () -> open("full", "litert_fp32"));
        throwing(IllegalStateException.class, "has the inputs", () -> open("full", "onnx_fp32"));
        try (NetModel model = open("full", "executorch_fp16")) {
            float[] image = floats(Arrays.copyOf(golden("net/executorch_fp16_in0.bin"), 768));
            throwing(IllegalStateException.class, "not 12", () -> model.run(image));
        }
    }

    /** The generated verifier against Java's own signatures; and the first test of RFC 8032. */
    private static void ed25519() throws Exception {
        byte[] known = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        byte[] signed = hex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
        that(verifies(known, new byte[0], signed), "RFC 8032");
        java.security.KeyPairGenerator keys = java.security.KeyPairGenerator.getInstance("Ed25519");
        for (int round = 0; round < 8; round++) {
            java.security.KeyPair pair = keys.generateKeyPair();
            byte[] encoded = pair.getPublic().getEncoded();
            byte[] key = Arrays.copyOfRange(encoded, encoded.length - 32, encoded.length);
            byte[] message = ("message " + round).getBytes(StandardCharsets.UTF_8);
            java.security.Signature signer = java.security.Signature.getInstance("Ed25519");
            signer.initSign(pair.getPrivate());
            signer.update(message);
            byte[] signature = signer.sign();
            that(verifies(key, message, signature), "a right signature");
            for (byte[] changed : new byte[][] {key, message, signature}) {
                int bit = (37 * round + 5) % (8 * changed.length);
                changed[bit / 8] ^= 1 << bit % 8;
                that(!verifies(key, message, signature), "bit " + bit + " of " + changed.length + " bytes");
                changed[bit / 8] ^= 1 << bit % 8;
            }
            java.math.BigInteger order = java.math.BigInteger.ONE.shiftLeft(252)
                .add(new java.math.BigInteger("27742317777372353535851937790883648493"));
            byte[] s = Arrays.copyOfRange(signature, 32, 64);
            byte[] larger = reversed(new java.math.BigInteger(1, reversed(s)).add(order).toByteArray());
            System.arraycopy(Arrays.copyOf(larger, 32), 0, signature, 32, 32);
            that(!verifies(key, message, signature), "s is too large");
        }
        that(!verifies(new byte[31], new byte[0], new byte[64]), "a short key");
        that(!verifies(new byte[32], new byte[0], new byte[63]), "a short signature");
    }

    private static boolean verifies(byte[] key, byte[] message, byte[] signature) {
        return com.example.full.runtime.Ed25519.INSTANCE.verifies(key, message, signature);
    }

    private static byte[] hex(String text) {
        byte[] bytes = new byte[text.length() / 2];
        for (int index = 0; index < bytes.length; index++) {
            bytes[index] = (byte) Integer.parseInt(text.substring(2 * index, 2 * index + 2), 16);
        }
        return bytes;
    }

    private static byte[] reversed(byte[] bytes) {
        byte[] made = new byte[bytes.length];
        for (int index = 0; index < bytes.length; index++) {
            made[index] = bytes[bytes.length - 1 - index];
        }
        return made;
    }

    private static void seal() throws Exception {
        String key = text("key.pub");
        AssetManager assets = context("full").getAssets();
        BundleSeal seal = BundleSeal.verify(assets, key);
        seal.check(NetModel.VARIANTS);
        seal.check(PairModel.VARIANTS);
        throwing(SecurityException.class, "not the file that the manifest lists", () -> seal.check(ManyModel.VARIANTS));
        throwing(SecurityException.class, "not signed by that key", () -> BundleSeal.verify(assets, text("other.pub")));
        throwing(SecurityException.class, "", () -> BundleSeal.verify(assets, "no key"));
        AssetManager none = new AssetManager(root);
        throwing(SecurityException.class, "is the bundle signed?", () -> BundleSeal.verify(none, key));
        AssetManager changed = context("full", new File(root, "changed_seal")).getAssets();
        throwing(SecurityException.class, "was changed", () -> BundleSeal.verify(changed, key));
    }

    private static void pack() throws Exception {
        File folder = new File(root, "pack/demo_pack/src/main/assets");
        com.example.pack.NetModel.open(context("pack"), folder).close();
        throwing(java.io.IOException.class, "no file", () -> com.example.pack.NetModel.open(context("pack"), root));
    }

    private static void throwing(Class<? extends Throwable> kind, String message, Check check) {
        try {
            check.run();
        } catch (Throwable failure) {
            boolean said = String.valueOf(failure.getMessage()).contains(message);
            that(kind.isInstance(failure) && said, "another failure: " + failure);
            return;
        }
        throw new IllegalStateException("nothing was thrown: " + message);
    }

    private static void that(boolean holds, String message) {
        if (!holds) {
            throw new IllegalStateException(message);
        }
    }

    private static String text(String name) throws Exception {
        return new String(Files.readAllBytes(new File(root, name).toPath()), StandardCharsets.UTF_8);
    }

    private static byte[] golden(String name) throws Exception {
        return Files.readAllBytes(new File(root, "full/src/androidTest/assets/edgekit_golden/" + name).toPath());
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static float[] floats(byte[] bytes) {
        float[] values = new float[bytes.length / 4];
        little(bytes).asFloatBuffer().get(values);
        return values;
    }

    private static int[] ints(byte[] bytes) {
        int[] values = new int[bytes.length / 4];
        little(bytes).asIntBuffer().get(values);
        return values;
    }

    private static long[] longs(byte[] bytes) {
        long[] values = new long[bytes.length / 8];
        little(bytes).asLongBuffer().get(values);
        return values;
    }
}
