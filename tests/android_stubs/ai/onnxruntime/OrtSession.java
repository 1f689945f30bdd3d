package ai.onnxruntime;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import stubs.Replay;

/** The methods of ONNX Runtime's class that the generated code calls. Its input names are not those of the contract. */
public class OrtSession implements AutoCloseable {
    private final Replay replay;

    OrtSession(Replay replay) {
        this.replay = replay;
    }

    public static class SessionOptions implements AutoCloseable {
        int threads = -1;

        public void setIntraOpNumThreads(int numThreads) throws OrtException {
            threads = numThreads;
        }

        public void setInterOpNumThreads(int numThreads) throws OrtException {}

        @Override
        public void close() {}
    }

    public static class Result implements AutoCloseable {
        private final List<byte[]> values;

        Result(List<byte[]> values) {
            this.values = values;
        }

        public OnnxValue get(int index) {
            return new OnnxTensor(values.get(index));
        }

        public Optional<OnnxValue> get(String key) {
            return Optional.empty();
        }

        @Override
        public void close() {}
    }

    public Set<String> getInputNames() {
        Set<String> names = new LinkedHashSet<>();
        for (int index = 0; index < replay.count("in"); index++) {
            names.add("file's own " + (9 - index));
        }
        return names;
    }

    public long getNumOutputs() {
        return replay.count("out");
    }

    public Result run(Map<String, OnnxTensor> inputs) throws OrtException {
        List<byte[]> given = new ArrayList<>();
        for (String name : getInputNames()) {
            given.add(inputs.get(name).content);
        }
        return new Result(replay.run(given));
    }

    @Override
    public void close() {
        replay.close();
    }
}
