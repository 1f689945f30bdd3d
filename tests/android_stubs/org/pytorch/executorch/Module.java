package org.pytorch.executorch;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import stubs.Replay;

/** The methods of ExecuTorch's class that the generated code calls. */
public class Module {
    public static final int LOAD_MODE_FILE = 0;
    public static final int LOAD_MODE_MMAP = 1;
    /** The file that was loaded last. */
    public static String loaded;

    private final Replay replay;

    private Module(Replay replay) {
        this.replay = replay;
    }

    public static Module load(String modelPath, int loadMode, int numThreads) {
        try {
            byte[] bytes = Files.readAllBytes(Paths.get(modelPath));
            ByteBuffer content = ByteBuffer.allocateDirect(bytes.length);
            content.put(bytes);
            loaded = modelPath;
            return new Module(new Replay(content, numThreads));
        } catch (IOException failure) {
            throw new RuntimeException(failure);
        }
    }

    public EValue[] forward(EValue... inputs) {
        List<byte[]> given = new ArrayList<>();
        for (EValue input : inputs) {
            given.add(input.toTensor().content());
        }
        List<byte[]> made = replay.run(given);
        EValue[] outputs = new EValue[made.size()];
        for (int index = 0; index < outputs.length; index++) {
            outputs[index] = EValue.from(Tensor.of(made.get(index)));
        }
        return outputs;
    }

    public void destroy() {
        replay.close();
    }
}
