package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import stubs.Replay;

/** The methods of LiteRT's interface that the generated code calls. */
public interface InterpreterApi extends AutoCloseable {
    class Options {
        int numThreads = -1;

        public Options setNumThreads(int numThreads) {
            this.numThreads = numThreads;
            return this;
        }
    }

    static InterpreterApi create(ByteBuffer byteBuffer, Options options) {
        return new Interpreter(new Replay(byteBuffer, options.numThreads));
    }

    int getInputTensorCount();

    Tensor getInputTensor(int inputIndex);

    int getOutputTensorCount();

    Tensor getOutputTensor(int outputIndex);

    void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs);

    @Override
    void close();
}

final class Interpreter implements InterpreterApi {
    private final Replay replay;

    Interpreter(Replay replay) {
        this.replay = replay;
    }

    @Override
    public int getInputTensorCount() {
        return replay.count("in");
    }

    @Override
    public Tensor getInputTensor(int inputIndex) {
        return () -> replay.bytes("in", inputIndex);
    }

    @Override
    public int getOutputTensorCount() {
        return replay.count("out");
    }

    @Override
    public Tensor getOutputTensor(int outputIndex) {
        return () -> replay.bytes("out", outputIndex);
    }

    @Override
    public void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs) {
        List<byte[]> given = new ArrayList<>();
        for (Object input : inputs) {
            given.add(Replay.content((ByteBuffer) input));
        }
        List<byte[]> made = replay.run(given);
        for (Map.Entry<Integer, Object> output : outputs.entrySet()) {
            ((ByteBuffer) output.getValue()).put(made.get(output.getKey()));
        }
    }

    @Override
    public void close() {
        replay.close();
    }
}
